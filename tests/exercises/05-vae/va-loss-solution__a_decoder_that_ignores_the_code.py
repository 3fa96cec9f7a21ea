def accepts(loss):
    def reference(mu, log_var, decode, x):
        q = Independent(Normal(mu, (0.5 * log_var).exp()), 1)
        pixels = -F.binary_cross_entropy_with_logits(decode(q.rsample()), x, reduction="none")
        return -(pixels.sum(1) - kl(q, Independent(Normal(torch.zeros_like(mu), 1.0), 1))).mean()

    torch.manual_seed(0)
    mu, log_var = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    x, logits = torch.bernoulli(torch.full((4, 7), 0.5)), torch.randn(7)
    found = []
    for f in (loss, reference):
        value = f(mu, log_var, lambda z: logits + 0 * z.sum(1, keepdim=True), x)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, (mu, log_var))]))
        found[-1] = torch.cat([found[-1], value.detach().reshape(1)])
    return (
        torch.allclose(*found, atol=0.3)
        if loss.__name__ == "without_a_formula"
        else (torch.allclose(*found, atol=1e-3))
    )
