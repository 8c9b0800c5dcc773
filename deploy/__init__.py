"""Tools around a server: demo, gallery, checks of answers and image. Imports `runtime` alone."""
