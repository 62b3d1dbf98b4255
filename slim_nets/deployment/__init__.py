"""Training one model on several devices and machines."""
