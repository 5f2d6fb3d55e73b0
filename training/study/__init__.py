"""The data-size study: which model this much data deserves, by runs that differ in nothing but size, seed and model."""
