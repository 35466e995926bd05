"""Every data set of hands as one record: readers, crops, augmentation, mixtures, loading."""
