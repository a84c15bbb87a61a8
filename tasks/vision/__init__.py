"""What tasks on images share: pixels, pictures of the report, attention over patches, simple methods beside them."""
