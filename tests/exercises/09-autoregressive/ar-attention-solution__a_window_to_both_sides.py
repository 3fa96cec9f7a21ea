def local_attention(q, k, v, window):
    logits = q @ k.T / q.shape[1] ** 0.5
    seen = torch.ones_like(logits, dtype=torch.bool).tril(window).triu(-window)
    return logits.masked_fill(~seen, -math.inf).softmax(1) @ v
