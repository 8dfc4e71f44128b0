"""Work that is acknowledged and then never lost: the queue, the workers, the batches."""
