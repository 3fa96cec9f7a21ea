def local_attention(q, k, v, window):
    logits = q @ k.T
    seen = torch.ones_like(logits, dtype=torch.bool).tril().triu(-window)
    return logits.masked_fill(~seen, -math.inf).softmax(1) @ v
