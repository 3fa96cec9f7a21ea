def pair(x0, eps, t, floor):
    data_end = x0 + floor * eps
    times = t.view(len(t), *(1 for _ in x0.shape[1:])).expand_as(x0)
    return torch.lerp(data_end, eps, times), eps - data_end
