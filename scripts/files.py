"""Old place of `baselines.studies.files`."""

from baselines.studies.files import pyplot, save_figure, write_json, write_table, write_text

__all__ = ["pyplot", "save_figure", "write_json", "write_table", "write_text"]
