def carried(q_top, q_bottom, p_top, p_bottom):
    def divergence(q, p):
        return torch.where(q > 0, q * (q / p).log(), 0.0).sum(-1)

    below = divergence(q_bottom, p_top @ p_bottom)
    return torch.stack([divergence(q_top, p_top), (q_top * below).sum(1)], 1)
