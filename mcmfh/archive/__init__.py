"""What a hospital gives: manifests, images, DICOM, reports, splits and the quarantine for what cannot be used."""
