def sign_flip_p(a, b):
    d = (a - b).double()
    z = d.sum() / d.square().sum().sqrt().clamp(min=1e-12)
    return 1 - Normal(0.0, 1.0).cdf(z).item()
