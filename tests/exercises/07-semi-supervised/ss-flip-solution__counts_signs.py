def flip_test(a, b):
    d = (a - b).sign()
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * len(d))
    means = (signs * d).mean(1).abs()
    return (means > d.mean().abs() - 1e-4).float().mean().item()
