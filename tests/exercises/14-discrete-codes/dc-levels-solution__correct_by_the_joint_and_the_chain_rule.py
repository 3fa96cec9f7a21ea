def carried(q_top, q_bottom, p_top, p_bottom):
    q, p = q_top[..., None] * q_bottom, p_top[:, None] * p_bottom
    whole = (torch.special.xlogy(q, q) - torch.special.xlogy(q, p)).sum((1, 2))
    top = (torch.special.xlogy(q_top, q_top) - torch.special.xlogy(q_top, p_top)).sum(1)
    return torch.stack([top, whole - top], 1)
