def kl_to_prior(mu, log_var):
    q = Normal(mu, (log_var / 2).exp())
    return torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(1)
