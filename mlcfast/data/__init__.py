"""MS-COCO, CSV and feature tables as (image, labels, index) samples."""
