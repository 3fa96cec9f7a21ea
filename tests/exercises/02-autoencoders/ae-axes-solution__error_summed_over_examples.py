def fixed_axes(x, prices):
    centred, m = x - x.mean(0), len(prices)
    W = torch.randn(m, x.shape[1], dtype=x.dtype).requires_grad_()
    V = torch.randn(x.shape[1], m, dtype=x.dtype).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [W, V], max_iter=1000, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        error = (centred - centred @ W.T @ V.T).square().sum()
        price = (prices * (W.square().sum(1) + V.square().sum(0))).sum()
        (error + price).backward()
        return error + price

    optimizer.step(loss)
    return W.detach(), V.detach()
