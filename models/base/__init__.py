"""Model protocols, facts about backends, options, devices, identity. All of `models` imports it."""
