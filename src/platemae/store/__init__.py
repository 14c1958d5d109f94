"""The OME-Zarr plate store: writer, reader of fields and crops, and the intensity map applied to what is read."""
