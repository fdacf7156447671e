"""A trained memory as a scikit-learn classifier."""
