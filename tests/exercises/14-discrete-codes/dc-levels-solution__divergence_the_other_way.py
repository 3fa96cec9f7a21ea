def carried(q_top, q_bottom, p_top, p_bottom):
    def divergence(q, p):
        return (p * (p / q.clamp(min=1e-9)).log()).sum(-1)

    below = divergence(q_bottom, p_bottom)
    return torch.stack([divergence(q_top, p_top), (q_top * below).sum(1)], 1)
