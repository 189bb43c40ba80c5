"""What a wire format must declare: its routes, its facts about requests, its headers, and how it writes turns and
answers."""
