"""The model protocols, options, devices and identity. All of `models` imports it; it imports none of them."""
