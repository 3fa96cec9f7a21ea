def best_gaussian(z, log_joint):
    mean = torch.linspace(z[0] * 0.7, z[-1] * 0.7, 15, dtype=z.dtype).requires_grad_()
    log_sd = torch.full_like(mean, -0.7).requires_grad_()
    adam = torch.optim.Adam([mean, log_sd], lr=0.05)
    for _ in range(400):
        log_q = Normal(mean[:, None], log_sd.exp()[:, None]).log_prob(z)
        elbo = (log_q.exp() * (log_joint - log_q)).sum(1) * (z[1] - z[0])
        adam.zero_grad()
        (-elbo.sum()).backward()
        adam.step()
    best = elbo.argmax()
    return mean[best].item(), log_sd[best].exp().item()
