def causal_attention(q, k, v):
    logits = (q @ k.T / q.shape[1] ** 0.5).tril()
    return logits.softmax(1) @ v
