"""The parts of the report, a module each: JSON to tables and figures."""
