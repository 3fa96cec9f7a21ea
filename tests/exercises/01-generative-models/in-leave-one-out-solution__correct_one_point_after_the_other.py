def leave_one_out(x, h):
    total = 0.0
    for i in range(len(x)):
        others = torch.cat([x[:i], x[i + 1 :]])
        log_kernels = Normal(others, h).log_prob(x[i]).sum(1)
        total += log_kernels.logsumexp(0) - math.log(len(others))
    return total / len(x)


def best_width(x, widths):
    values = torch.tensor([float(leave_one_out(x, h)) for h in widths])
    return widths[values.argmax().item()]
