"""From photographs to crops on the template, `evenface align`."""
