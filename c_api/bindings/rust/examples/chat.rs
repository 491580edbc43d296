//! A conversation with a model, on the terminal. Usage: chat MODEL.gguf [TOKENS]
use std::env;
use std::error::Error;
use std::io::{stdin, stdout, Write};

use junto::{Runtime, Sampling};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: chat MODEL.gguf [TOKENS]")?;
    let max_new_tokens = env::args().nth(2).map_or(Ok(0), |tokens| tokens.parse())?;
    let model = Runtime::new()?.load(path)?;
    let mut session = model.session(&Default::default())?;
    session.set_sampling(&Sampling { max_new_tokens, ..Sampling::default() })?;
    let mut prompt = model.prompt()?;
    loop {
        print!("> ");
        stdout().flush()?;
        let mut line = String::new();
        if stdin().read_line(&mut line)? == 0 {
            return Ok(());
        }
        prompt.turn("user", line.trim_end_matches('\n'))?;
        session.prefill(&prompt)?;
        let mut answer = String::new();
        for text in session.stream() {
            let text = text?;
            print!("{text}");
            stdout().flush()?;
            answer += &text;
        }
        prompt.turn("assistant", &answer)?; // as the model must hear what it said
        println!();
    }
}
