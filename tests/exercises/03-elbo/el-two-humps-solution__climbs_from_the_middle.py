def best_gaussian(z, log_joint):
    mean, sd = torch.zeros((), dtype=z.dtype), torch.ones((), dtype=z.dtype)
    log_sd = sd.log()
    for p in (mean, log_sd):
        p.requires_grad_()
    optimizer = torch.optim.Adam([mean, log_sd], lr=0.05)
    for _ in range(500):
        log_q = Normal(mean, log_sd.exp()).log_prob(z)
        loss = -(log_q.exp() * (log_joint - log_q)).sum() * (z[1] - z[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mean.item(), log_sd.exp().item()
