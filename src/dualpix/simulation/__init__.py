"""Dual-pixel optics: the thin lens, the two views' point-spread functions, scenes, the renderer and the sensor."""
