"""What both trainings report of the validation pairs: R@K at these K, in both directions."""

CUTOFFS = (1, 5, 10)
# direction → (modality of the queries, modality of the database)
DIRECTIONS = {"image_to_report": ("image", "report"), "report_to_image": ("report", "image")}
