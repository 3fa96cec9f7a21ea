def vae_loss(logits, x, mu, log_var):
    log_likelihood = Independent(torch.distributions.Bernoulli(logits=logits), 3).log_prob(x)
    q = Normal(mu, (log_var / 2).exp())
    divergence = torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    return (divergence - log_likelihood).mean()
