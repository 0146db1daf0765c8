"""The named schedules, one short class each, by family."""
