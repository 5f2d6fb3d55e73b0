"""`vitrail bench decode`: photos through `images.fit`, beside decoding all of their pixels first."""
