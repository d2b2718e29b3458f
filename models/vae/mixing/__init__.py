"""A VAE of two latents, content and style, so that the content of one picture can be drawn in the style of another."""
