def carried(q_top, q_bottom, p_top, p_bottom):
    def divergence(q, p):
        return (q * (q / p).log()).sum(-1)

    below = divergence(q_bottom, p_bottom)
    return torch.stack([divergence(q_top, p_top), (q_top * below).sum(1)], 1)
