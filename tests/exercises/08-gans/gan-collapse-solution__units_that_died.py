def games():
    def game(hidden, lr, beta1=0.5):
        generator = Generator.mlp(ring.shape, latent=2, hidden=(64, 64))
        critic = Critic.mlp(ring.shape, hidden=hidden)
        adam = [partial(torch.optim.Adam, lr=r, betas=(beta1, 0.99)) for r in (lr, 2e-3)]
        return adversarial_step(
            generator, critic, generator_optimizer=adam[0], critic_optimizer=adam[1]
        )

    return game((64, 64), 1.0), game((64, 64), 2e-3, 0.0)
