def leave_one_out(x, h):
    n, D = x.shape
    squared = (x[:, None] - x).square().sum(2)
    squared.fill_diagonal_(math.inf)
    log_kernels = -squared / (2 * h**2) - D / 2 * math.log(2 * math.pi * h**2)
    return (log_kernels.logsumexp(1) - math.log(n - 1)).mean()


def best_width(x, widths):
    return float(min(widths, key=lambda h: leave_one_out(x, h)))
