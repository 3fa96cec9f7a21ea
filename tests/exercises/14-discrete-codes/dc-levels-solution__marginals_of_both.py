def carried(q_top, q_bottom, p_top, p_bottom):
    def divergence(q, p):
        return torch.where(q > 0, q * (q / p).log(), 0.0).sum(-1)

    q_below = (q_top[..., None] * q_bottom).sum(1)
    return torch.stack([divergence(q_top, p_top), divergence(q_below, p_top @ p_bottom)], 1)
