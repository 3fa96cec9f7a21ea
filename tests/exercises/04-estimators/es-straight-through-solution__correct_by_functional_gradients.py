def straight_through_bias(f, p):
    zero, one = torch.tensor(0.0, dtype=p.dtype), torch.tensor(1.0, dtype=p.dtype)
    slope = torch.func.grad(f)
    return torch.lerp(slope(zero), slope(one), p) - (f(one) - f(zero))
