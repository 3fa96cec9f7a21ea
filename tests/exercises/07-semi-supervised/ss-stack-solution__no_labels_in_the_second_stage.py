def stack(split, classes, latent, updates):
    vae = VAE.mlp(split.images.shape[1:], latent=latent, hidden=(32,))
    train(vae, elbo, split.batches(64, binarize="dynamic"), updates, lr=5e-3)
    vae.requires_grad_(False)
    mixed = MixedBatches(split, 64, 16, binarize="dynamic")
    parts = {"classes": classes, "latent": 2, "hidden": (32,), "likelihood": heads.Normal}
    model = M2.mlp((latent,), **parts).to(dgm.device())
    objective = partial(m2, alpha=10, labelled_share=mixed.share)
    step = dgm.train.gradient_step(model, objective, lr=5e-3)
    for _ in range(math.ceil(updates / len(mixed))):
        for x, y in mixed:
            step((vae.posterior(x).sample(), torch.full_like(y, -1)))  # other draws at each update
    return vae, model
