"""Model predictive control: `linear` with a linear model, `nonlinear` with a behaviour (ODE)."""
