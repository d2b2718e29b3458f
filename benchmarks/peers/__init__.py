"""Our GAN, VAE and autoencoder against those of public packages: same
pictures, size, minutes and machine."""
