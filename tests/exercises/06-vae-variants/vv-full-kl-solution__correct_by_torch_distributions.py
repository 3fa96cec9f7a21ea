def full_kl(mu, L):
    m = mu.shape[1]
    prior = MultivariateNormal(mu.new_zeros(m), torch.eye(m, dtype=mu.dtype))
    return torch.distributions.kl_divergence(MultivariateNormal(mu, scale_tril=L), prior)
