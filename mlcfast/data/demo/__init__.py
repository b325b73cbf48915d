"""The demo set: scenes of handwritten digits in MS-COCO's layout."""
