def em_centres(x, centres, variance):
    log_p = Normal(centres, variance**0.5).log_prob(x[:, None]).sum(2)  # (N, K)
    r = (log_p - log_p.logsumexp(1, keepdim=True)).exp()
    return torch.einsum("nk,nd->kd", r / r.sum(0), x)
