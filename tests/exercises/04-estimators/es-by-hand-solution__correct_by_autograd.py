def elbo_gradients(x, w, mu, log_sigma, eps):
    at = torch.tensor([mu, log_sigma], dtype=eps.dtype).expand(len(eps), 2).clone().requires_grad_()
    q = Normal(at[:, 0], at[:, 1].exp())
    z = at[:, 0] + at[:, 1].exp() * eps
    log_p = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(torch.tensor(x).to(eps))
    return autograd.grad((log_p - q.log_prob(z)).sum(), at)[0]
