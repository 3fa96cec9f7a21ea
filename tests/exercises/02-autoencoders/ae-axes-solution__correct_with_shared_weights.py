def fixed_axes(x, prices):
    """At the minimum W = V^T, so that one matrix will do."""
    C = torch.cov(x.T, correction=0)
    V = torch.linalg.qr(torch.randn(x.shape[1], len(prices), dtype=x.dtype)).Q
    V = V.contiguous().requires_grad_()
    optimizer = torch.optim.LBFGS([V], max_iter=2000, line_search_fn="strong_wolfe")
    optimizer.param_groups[0]["tolerance_change"] = 1e-13

    def loss():
        optimizer.zero_grad()
        left = torch.eye(len(C), dtype=x.dtype) - V @ V.T
        value = (left @ C @ left).trace() + 2 * (prices * V.square().sum(0)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return V.detach().T.clone(), V.detach()
