def accepts(loss):
    def reference(mu, log_var, decode, x):
        q = Independent(Normal(mu, (0.5 * log_var).exp()), 1)
        pixels = -F.binary_cross_entropy_with_logits(decode(q.rsample()), x, reduction="none")
        return -(pixels.sum(1) - kl(q, Independent(Normal(torch.zeros_like(mu), 1.0), 1))).mean()

    torch.manual_seed(0)
    mu, log_var, W = torch.randn(1, 3), 1.5 * torch.randn(1, 3), torch.randn(3, 7)
    x = torch.bernoulli(torch.full((1, 7), 0.5))
    many = [t.repeat(30_000, 1) for t in (mu, log_var, x)]
    values = [f(*many[:2], lambda z: z @ W, many[2]) for f in (loss, reference)]
    return torch.allclose(*values, atol=0.05)
