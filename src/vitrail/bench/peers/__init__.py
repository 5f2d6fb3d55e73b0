"""Scripts that peers' own environments run as processes; nothing here is imported, nor imports vitrail."""
