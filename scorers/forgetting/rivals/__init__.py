"""Other explanations of a late-minus-early odds ratio, each as a fit of its own. May import what `forgetting` may."""
